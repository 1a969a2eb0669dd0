"""The exercise on two networks that outvote themselves (lesson 8)."""

from typing import Any

from vgg_utils.checks.base import Values, a_number, exercise


@exercise("8.1")
def _neither_first(answer: Any) -> Values:
    if hasattr(answer, "tolist"):  # an array or a tensor of both
        answer = answer.tolist()
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        return {"no_pair": True}
    pair = [entry.tolist() if hasattr(entry, "tolist") else entry for entry in answer]
    for values in pair:
        if not isinstance(values, list | tuple) or len(values) != 3:
            return {"not_three": True}
        numbers = [a_number(value)["number"] for value in values]
        if not min(numbers) >= 0 or not abs(sum(numbers) - 1) < 1e-3:
            return {"no_posterior": True}

    def first(values: Any) -> int | None:
        ranked = sorted(values)
        return list(values).index(ranked[-1]) if ranked[-1] - ranked[-2] > 1e-6 else None

    average = [(a + b) / 2 for a, b in zip(*pair, strict=True)]
    return {"one": first(pair[0]), "other": first(pair[1]), "winner": first(average)}
