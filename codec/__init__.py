"""A neural speech codec with residual DiVeQ / SF-DiVeQ quantization."""
