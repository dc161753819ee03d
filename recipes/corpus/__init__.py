"""Codes of a whole corpus, as Parquet: made on Ray Data, read back for training a language
model.
"""
