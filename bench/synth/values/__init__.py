"""Draws what a document says: parties, goods, money and dates. It knows nothing of pages."""
