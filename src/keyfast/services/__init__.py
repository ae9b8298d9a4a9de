"""One verb family each; stores and ports come by constructor, answers and refusals are values."""
