"""Page layouts: one module a kind of document. A layout turns values into sheets and chooses nothing."""
