"""What stands in a document: parties, goods, money, dates. Knows nothing of pages."""
