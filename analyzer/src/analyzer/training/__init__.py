"""How the classifier is trained: labelled lines, generated positives, cross-validation, the model's card."""
