"""How a question is put to a model: prompt collections, and protocols that reproduce published numbers."""
