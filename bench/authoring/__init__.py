"""Making a task of your own documents: start it, draft answers with a model, accept them, split it."""
