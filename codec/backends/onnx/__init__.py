"""A model as ONNX graphs, built from its configuration and weights without PyTorch or the `onnx`
package, and run.
"""
