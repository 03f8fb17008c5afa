"""From recorded outputs to scores: evaluation, paired comparison, published scores, data frames."""
