"""How ``qwen2-vl-nano`` was made: a very small Qwen2-VL trained from nothing on synthetic slips.

In the order of the data: ``vocabulary`` (the tokenizer), ``lessons`` (small pages and questions about
them), ``batches`` (several questions of a page in one sequence), ``network`` (the model's forward pass over
them), ``train`` (the loop), ``checkpoint`` (the folder that the ordinary loading code reads).
"""
