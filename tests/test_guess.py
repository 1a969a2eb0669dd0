"""The page takes a guess and answers it: book/_static/guess.js, tried in a headless Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "book" / "_static" / "guess.js"
CHOICES = """<details class="guess" data-choices="3|5|9" data-answer="5"><summary>Guess: how
<em>wide</em>?</summary><p>One more on either side.</p></details>"""
NUMBER = """<details class="guess" data-answer="2.303" data-tolerance="0.05"><summary>Guess: what
is it?</summary><p>The logarithm of ten.</p></details>"""


@pytest.fixture
def ask(page: Any, tmp_path: Path) -> Any:
    def ask(fold: str) -> Any:
        file = tmp_path / "page.html"
        script = f"<script>{SCRIPT.read_text('utf-8')}</script>"
        file.write_text(f'<!doctype html><html lang="en">{script}<main>{fold}</main>', "utf-8")
        page.goto(file.as_uri())
        return page

    return ask


@pytest.mark.parametrize(("choice", "said"), [("5", "Right."), ("9", "You said 9. It’s 5.")])
def test_choice_is_judged_and_opens_the_answer(ask: Any, choice: str, said: str) -> None:
    page = ask(CHOICES)
    answer = page.get_by_text("One more on either side.")
    assert page.locator("form em").inner_text() == "wide"  # the question keeps its form
    assert not answer.is_visible()
    button = page.get_by_role("button", name=choice, exact=True)
    button.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("status").inner_text() == said
    assert button.get_attribute("aria-pressed") == "true"
    assert answer.is_visible()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("2.3", "Right."),
        ("2,303", "Right."),
        ("10", "You said 10. It’s 2.303."),
        ("ten", "Type a number, such as 1.5."),
        ("", "Type a number, such as 1.5."),
    ],
)
def test_number_is_judged_within_its_tolerance(ask: Any, given: str, said: str) -> None:
    page = ask(NUMBER)
    field = page.get_by_label("Your guess")
    field.fill(given)
    field.press("Enter")
    assert page.get_by_role("status").inner_text() == said
    assert page.get_by_text("The logarithm of ten.").is_visible() is not said.startswith("Type")


def test_whoever_does_not_guess_can_open_the_answer(ask: Any) -> None:
    page = ask(NUMBER)
    page.get_by_text("Show the answer").click()
    assert page.get_by_text("The logarithm of ten.").is_visible()
