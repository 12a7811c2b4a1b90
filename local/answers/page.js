// Shows the questions that the filters let through. Without it, all are there.
const all = [...document.querySelectorAll("details.asked")];
const form = document.querySelector("form");
const count = document.querySelector("#count");

function show() {
  const { tenant, kind, verdict, words } = Object.fromEntries(new FormData(form));
  const wanted = words.trim().toLowerCase();
  let shown = 0;
  for (const one of all) {
    const fits =
      (!tenant || one.dataset.tenant === tenant) &&
      (!kind || one.dataset.kind === kind) &&
      (!verdict || one.dataset.verdict === verdict || one.dataset.failed.split(" ").includes(verdict)) &&
      (!wanted || one.textContent.toLowerCase().includes(wanted));
    one.hidden = !fits;
    shown += fits;
  }
  count.textContent = `${shown} of ${all.length}`;
}

form.hidden = false;
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
show();
