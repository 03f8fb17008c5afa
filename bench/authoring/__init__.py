"""Makes a task of a person's own documents: start it, draft answers with a model, accept them, split it."""
