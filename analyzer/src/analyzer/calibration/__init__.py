"""A calibrator: a small logistic model over the engine's probability, fitted on rows that people labelled.

It shifts what the engine is unsure of; a verdict that the engine holds proven (a format with its checks, a
placeholder) is never touched. It is a JSON document of a few numbers: it holds no value and cannot run code.
"""
