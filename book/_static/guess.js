// Guesses: a fold <details class="guess"> asks in its summary. The page takes the reader’s guess and
// then opens the answer. Without scripts, and in a notebook, it stays a plain fold.
//
//   data-choices="3|5|7" data-answer="5"            choose one
//   data-answer="2.303" data-tolerance="0.05"       a number that may be off by so much

function told(right, given, answer) {
  if (right) return "Right.";
  return `You said ${given}. It’s ${answer}.`;
}

function ask(fold) {
  const { choices, answer, tolerance } = fold.dataset;
  const summary = fold.querySelector("summary");
  const question = document.createElement("p");
  question.innerHTML = summary.innerHTML;
  question.className = "question";
  const box = document.createElement("form");
  box.className = "guess";
  box.noValidate = true;
  const says = document.createElement("p");
  says.setAttribute("role", "status");
  box.append(question);

  function tell(right, given) {
    says.textContent = told(right, given, answer);
    box.classList.toggle("right", right);
    fold.open = true;
    summary.textContent = "The answer";
  }

  if (choices) {
    const group = document.createElement("div");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Your guess");
    for (const choice of choices.split("|")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = choice;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        for (const other of group.children) other.setAttribute("aria-pressed", other === button);
        tell(choice === answer, choice);
      });
      group.append(button);
    }
    box.append(group);
  } else {
    const label = document.createElement("label");
    const field = document.createElement("input");
    field.type = "text";
    field.inputMode = "decimal";
    field.size = 8;
    label.append("Your guess ", field);
    const button = document.createElement("button");
    button.type = "submit";
    button.textContent = "Compare";
    box.append(label, button);
    box.addEventListener("submit", (event) => {
      event.preventDefault();
      const given = Number(field.value.trim().replace(",", "."));
      if (field.value.trim() === "" || Number.isNaN(given)) {
        says.textContent = "Type a number, such as 1.5.";
        return;
      }
      tell(Math.abs(given - Number(answer)) <= Number(tolerance || 0), field.value.trim());
    });
  }
  box.append(says);
  summary.textContent = "Show the answer";
  fold.before(box);
}

document.addEventListener("DOMContentLoaded", () => {
  for (const fold of document.querySelectorAll("details.guess")) ask(fold);
});
