"""Decides how a question is asked: prompt collections, and protocols that reproduce published scores."""
