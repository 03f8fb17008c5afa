"""JSON Schemas of answers: reads and checks them, asks for what they describe, and validates answers."""
