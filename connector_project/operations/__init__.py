"""The top layer: what people and programs do with both systems."""
