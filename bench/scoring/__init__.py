"""From recorded outputs to scores: answers, evaluation, levels, comparison, published scores, data frames."""
