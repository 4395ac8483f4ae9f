"use strict";
// Shows the samples' texts token by token, from the data that the page carries.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const place = document.getElementById("samples");
  const tip = document.getElementById("tip");
  const controls = ["policy", "budget", "tau", "order"].reduce((all, id) => {
    all[id] = document.getElementById(id);
    return all;
  }, {});
  // Of a step: see TokenMap::ToJson.
  const TOKEN = 0, N = 1, ENTROPY = 2, P = 3, P_MAX = 4, MARGIN = 5,
        RECALLS = 6, LOST = 7;

  const fill = (select, names) => names.forEach((name, i) =>
      select.add(new Option(name, i)));
  fill(controls.policy, data.policies);
  fill(controls.budget, data.budgets);
  controls.policy.value = data.policy;
  controls.budget.value = data.budget;
  controls.tau.value = data.tau;

  const budgets = data.budgets.length;
  const lane = () => controls.policy.value * budgets + +controls.budget.value;
  const mean = (numbers) => numbers.length === 0 ? NaN :
      numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const number = (x, digits) => x === null || Number.isNaN(x) ? "–" :
      x.toFixed(digits);

  // White to deep orange, even for the colour-blind and in grey: from 0 to 3
  // nats, where the last of the default bins begins.
  const colour = (entropy) => {
    const x = Math.min(entropy / 3, 1);
    const mix = (from, to) => Math.round(from + (to - from) * x);
    return `rgb(${mix(255, 230)},${mix(255, 110)},${mix(255, 10)})`;
  };

  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  const visible = (token) => token.replace(/\n/g, "⏎").replace(/\t/g, "⇥");

  const row = (cells, name) => {
    const made = element("tr");
    cells.forEach((cell) => made.append(element(name || "td", cell)));
    return made;
  };

  const fillTip = ({step, index, texts}) => {
    tip.replaceChildren();
    const head = element("div");
    head.append(element("code", visible(step[TOKEN]) || "end of text"),
                ` step ${index + 1}, ${step[N]} positions`);
    tip.append(head);
    tip.append(element("div", `entropy ${number(step[ENTROPY], 3)} nats · ` +
        `p ${number(step[P], 3)} · p max ${number(step[P_MAX], 3)} · ` +
        `margin ${number(step[MARGIN], 3)}`));
    const lost = step[LOST][lane()];
    const policy = data.policies[controls.policy.value];
    const budget = data.budgets[controls.budget.value];
    if (data.has_lost) {
      // Some runs are older than the record of what was lost.
      tip.append(element("div", lost.length > 0 ?
          `${policy} at ${budget} lost, the most attended first:` :
          step[RECALLS][lane()] < 1 ? "what was lost was not recorded" :
          `${policy} at ${budget} lost none of what was attended most`));
      for (let i = 0; i < lost.length; i += 2) {
        const line = element("div");
        line.append(element("code", visible(texts[lost[i]])),
                    ` at ${lost[i]}, attention ${lost[i + 1]}`);
        tip.append(line);
      }
    }
    const table = element("table");
    table.append(row(["recall"].concat(data.budgets), "th"));
    data.policies.forEach((policy, p) => table.append(row([policy].concat(
        step[RECALLS].slice(p * budgets, (p + 1) * budgets)
            .map((recall) => number(recall, 3))))));
    tip.append(table);
  };

  const moveTip = (target) => {
    tip.style.display = "block";
    const box = target.getBoundingClientRect();
    const width = tip.offsetWidth, height = tip.offsetHeight;
    const left = Math.min(box.left, innerWidth - width - 12);
    const below = box.bottom + 8 + height < innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, below ? box.bottom + 8 :
        box.top - height - 8)}px`;
  };

  const showSample = (sample) => {
    const made = element("section", undefined, "sample");
    const header = element("header");
    header.append(element("b", sample.id));
    const of = sample.steps;
    const facts = [`${sample.prompt_tokens} prompt tokens` +
                       (sample.truncated ? ", truncated" : ""),
                   `${of.length} steps`];
    if (sample.score !== null)
      facts.push(`score ${number(100 * sample.score, 1)}`);
    if (sample.state !== "done") facts.push(sample.state);
    if (of.length > 0) {
      facts.push(`mean entropy ${number(mean(of.map((s) => s[ENTROPY])), 2)}`);
      facts.push("mean recall " +
          number(mean(of.map((s) => s[RECALLS][lane()])), 3));
    }
    header.append(` · ${facts.join(" · ")}`);
    made.append(header);
    if (sample.question) made.append(
        element("div", sample.question, "question"));
    if (sample.reason) made.append(element("div", sample.reason, "notice"));
    const tokens = element("div", undefined, "tokens");
    const tau = +controls.tau.value;
    of.forEach((step, i) => {
      const token = element("span", step[TOKEN] || "end");
      if (!step[TOKEN]) token.classList.add("end");
      token.style.backgroundColor = colour(step[ENTROPY]);
      if (step[RECALLS][lane()] < tau) token.classList.add("low");
      token.step = step;
      token.index = i;
      token.texts = sample.texts;
      tokens.append(token);
    });
    made.append(tokens);
    if (sample.answers.length > 0) {
      const answers = element("div", "reference: ", "soft");
      answers.append(element("code", sample.answers.join(" | ")));
      made.append(answers);
    }
    return made;
  };

  const orders = {
    run: () => 0,
    recall: (a, b) => a.recall - b.recall,
    entropy: (a, b) => b.entropy - a.entropy,
    score: (a, b) => a.score - b.score,
  };
  const draw = () => {
    const sorted = data.samples.map((sample) => ({
      sample,
      // Those without steps come last.
      recall: sample.steps.length === 0 ? 2 :
          mean(sample.steps.map((s) => s[RECALLS][lane()])),
      entropy: sample.steps.length === 0 ? -1 :
          mean(sample.steps.map((s) => s[ENTROPY])),
      score: sample.score === null ? 2 : sample.score,
    }));
    sorted.sort(orders[controls.order.value]);
    place.replaceChildren(...sorted.map(({sample}) => showSample(sample)));
  };

  // A click keeps the numbers of a token; another, or one beside, lets go.
  let picked = null;
  const show = (target) => {
    fillTip(target);
    moveTip(target);
  };
  const pick = (target) => {
    if (picked) picked.classList.remove("picked");
    picked = target === picked ? null : target;
    if (picked) picked.classList.add("picked");
  };
  place.addEventListener("mouseover", (event) => {
    if (event.target.step && !picked) show(event.target);
  });
  place.addEventListener("mouseout", () => {
    if (!picked) tip.style.display = "none";
  });
  document.addEventListener("click", (event) => {
    pick(event.target.step ? event.target : null);
    if (picked) show(picked); else tip.style.display = "none";
  });
  addEventListener("scroll", () => {
    if (picked) pick(null);
    tip.style.display = "none";
  });
  Object.values(controls).forEach((control) =>
      control.addEventListener("input", draw));
  draw();
})();
