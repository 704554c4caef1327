// Makes the page live: refreshes by itself, keeps focus and open panels, asks in a dialog. All of it works without.
"use strict";

(() => {
  const body = document.body;
  const texts = body.dataset;
  const find = (selector, inside = document) => inside.querySelector(selector);
  const every = (selector, inside = document) => Array.from(inside.querySelectorAll(selector));
  const main = () => find("#main");
  const dialog = find("#dialog");
  const EVERY = 5000;
  const SAID = 30000; // as long as what was done is said
  const FRAGMENT = { headers: { "X-Fragment": "1" }, credentials: "same-origin" };

  const fill = (target, source) => target.replaceChildren(...Array.from(source.childNodes).map((one) => document.importNode(one, true)));
  const parse = (text) => new DOMParser().parseFromString(text, "text/html");

  async function fetchFragment(url, seconds) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), seconds * 1000);
    try {
      const answer = await fetch(url, { ...FRAGMENT, signal: stop.signal });
      return { ok: answer.ok, status: answer.status, page: parse(await answer.text()) };
    } finally {
      clearTimeout(timer);
    }
  }

  // --- a new state of the page is put in place piece by piece, so that nothing jumps -------------------------------

  const KEPT = new Set(["open"]); // attributes that belong to the reader

  // A node of a page goes on as the node of the next page that bears the same key.
  function key(one) {
    if (one.nodeType !== Node.ELEMENT_NODE) return "";
    const says = (name) => one.getAttribute(name); // a form's own properties are hidden by fields that bear their names
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(one.nodeName)) return says("id") || says("name") + (one.type === "checkbox" ? says("value") : "");
    return says("id") || says("data-key") || says("aria-labelledby") || says("action") || one.classList[0] || "";
  }

  const sameNode = (one, other) => one.nodeName === other.nodeName && key(one) === key(other);

  function morph(old, fresh) {
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE || theirs.has(old)) return;
    if (old.dataset && (old.dataset.mine || old === document.activeElement && /^(INPUT|SELECT|TEXTAREA)$/.test(old.nodeName))) return;
    for (const { name, value } of Array.from(fresh.attributes)) {
      if (!KEPT.has(name) && old.getAttribute(name) !== value && !(name === "checked" || name === "hidden" && old.dataset.copy)) old.setAttribute(name, value);
    }
    for (const { name } of Array.from(old.attributes)) {
      if (!KEPT.has(name) && !fresh.hasAttribute(name) && !name.startsWith("data-live") && name !== "role") old.removeAttribute(name);
    }
    morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    const left = Array.from(old.childNodes);
    const pairs = Array.from(fresh.childNodes).map((node) => {
      const found = left.findIndex((one) => sameNode(one, node));
      return [node, found < 0 ? null : left.splice(found, 1)[0]];
    });
    for (const one of left) old.removeChild(one);
    let place = old.firstChild; // what stays where it is, is not moved: that would take the focus from it
    for (const [node, match] of pairs) {
      if (!match) {
        old.insertBefore(document.importNode(node, true), place);
        continue;
      }
      if (match === place) place = place.nextSibling;
      else old.insertBefore(match, place);
      morph(match, node);
    }
  }

  // --- what somebody has typed or chosen is theirs until it is sent ----------------------------------------------------

  const theirs = new WeakSet(); // forms, with the block in which one stands: a choice and what it says it is for

  function claim(event) {
    const form = event.target.form;
    if (form && !form.matches("[data-bulk]")) theirs.add(form.closest("section") || form); // ticks hold the page by themselves
  }

  document.addEventListener("input", claim);
  document.addEventListener("change", claim);
  for (const field of every("input[aria-invalid]")) claim({ target: field }); // what was sent, and came back to be mended

  // --- live --------------------------------------------------------------------------------------------------------

  let timer = 0;
  let offset = 0;
  let asked = 0; // refreshes, counted
  let shown = 0; // the one that the page shows
  let lost = false;
  const stopped = () => sessionStorage.getItem("dealpost-live") === "off";
  const isLive = () => Boolean(main().dataset.live);

  function setClock() {
    const now = Number(main().dataset.now);
    if (now) offset = now - Date.now() / 1000;
  }

  function busy() {
    return (dialog && dialog.open) || every("input[name=id]:checked").length > 0 || every("select, input, textarea", main()).some((one) => one === document.activeElement);
  }

  async function refresh(force) {
    if (!force && (busy() || document.hidden)) return;
    const url = main().dataset.live || location.pathname + location.search;
    const mine = ++asked;
    try {
      const { page, status } = await fetchFragment(url, 15);
      const fresh = find("#main", page);
      if (mine < shown || !force && busy()) return; // a later one was faster, or somebody began something meanwhile
      shown = mine;
      if (status === 401) return void location.reload(); // the session has ended: the form to sign in comes
      if (!fresh || status === 403) throw new Error("no page");
      const said = find("#said", fresh);
      if (said && !said.firstElementChild && performance.now() < SAID) fill(said, find("#said"));
      const before = find("#headline");
      const meaning = before && before.dataset.meaning;
      morph(main(), fresh);
      const top = find("#top", page);
      if (top) morph(find(".sections"), find(".sections", top));
      setClock();
      dress();
      const after = find("#headline");
      if (after && meaning !== after.dataset.meaning) find("#spoken").textContent = after.textContent.trim();
      if (lost) { lost = false; main().classList.remove("stale"); find("#lost").remove(); }
    } catch (error) {
      if (!lost) {
        lost = true;
        main().classList.add("stale");
        find("#spoken").textContent = texts.lost;
        const banner = document.createElement("div");
        banner.id = "lost";
        banner.className = "banner banner-bad lost";
        banner.textContent = texts.lostAt.replace("#", main().dataset.updated);
        main().before(banner);
      }
    }
  }

  function schedule() {
    clearInterval(timer);
    if (isLive() && !stopped()) timer = setInterval(() => refresh(false), EVERY);
  }

  function dressToggle() {
    const toggle = find("[data-live-toggle]");
    if (!toggle) return;
    toggle.setAttribute("role", "button");
    find("span", toggle).textContent = stopped() ? texts.start : texts.stop;
    const use = find("use", toggle);
    if (use) use.setAttribute("href", stopped() ? "#i-play" : "#i-pause");
  }

  // --- countdowns: silent, by the server's clock ---------------------------------------------------------------------

  function left(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 1) return texts.nowWord;
    if (whole < 60) return texts.second.replace("#", whole);
    const minutes = Math.floor(whole / 60);
    if (minutes < 60) return texts.minute.replace("#", minutes) + "\u00a0" + texts.second.replace("#", String(whole % 60).padStart(2, "0"));
    return texts.hour.replace("#", Math.floor(minutes / 60)) + "\u00a0" + texts.minute.replace("#", String(minutes % 60).padStart(2, "0"));
  }

  setInterval(() => {
    for (const one of every("[data-until]")) {
      const text = left(Number(one.dataset.until) - Date.now() / 1000 - offset);
      if (one.textContent !== text) one.textContent = text;
    }
  }, 1000);

  // --- what is looked up when the page asks ----------------------------------------------------------------------------

  async function load(target, url, pick) {
    target.dataset.mine = "1";
    const line = find("[data-loading]", target); // what stands there meanwhile stays, and only this line changes
    if (line) line.textContent = line.dataset.loading;
    else if (target.dataset.wait) target.textContent = target.dataset.wait;
    target.setAttribute("aria-busy", "true");
    try {
      const { page } = await fetchFragment(url, 12);
      const found = pick(page);
      if (found) fill(target, found);
    } catch (error) {
      (line || target).textContent = texts.lost;
    }
    target.removeAttribute("aria-busy");
  }

  function loadAll() {
    for (const one of every("[data-load-once]")) {
      if (one.dataset.mine) continue;
      load(one, one.dataset.loadOnce, (page) => find("[data-found]", page));
    }
    for (const one of every("select[data-load]")) {
      if (one.dataset.mine) continue;
      one.dataset.mine = "1";
      fetch(one.dataset.load, FRAGMENT).then((answer) => answer.text()).then((text) => {
        const options = every("option", parse("<select>" + text + "</select>"));
        const chosen = one.value; // also what was chosen among the stages known before
        if (options.length < one.options.length && options.length < 2 || !options.some((option) => option.value === chosen)) return;
        one.replaceChildren(...options.map((option) => document.importNode(option, true)));
        one.value = chosen;
      }).catch(() => {});
    }
  }

  // --- dialogs ---------------------------------------------------------------------------------------------------------

  let opener = null;

  async function ask(url) {
    const { page } = await fetchFragment(url, 15);
    const question = find("[data-confirm]", page);
    if (!question) { location.href = url; return; }
    question.classList.remove("card");
    opener = document.activeElement;
    dialog.replaceChildren(document.importNode(question, true));
    dialog.showModal();
    loadAll();
    const first = find("input.input, .button", dialog);
    if (first) first.focus();
  }

  if (dialog) dialog.addEventListener("close", () => { if (opener && opener.isConnected) opener.focus(); });

  // --- searching while one types ---------------------------------------------------------------------------------------

  let typed = 0;

  function wanted(field) {
    const values = new URLSearchParams({ q: field.value.trim() });
    for (const other of every("[data-with]", field.form)) values.set(other.name, other.value);
    return values;
  }

  document.addEventListener("input", (event) => {
    const field = event.target.closest("[data-search]");
    if (!field) return;
    const mine = ++typed;
    setTimeout(async () => {
      const target = find("#" + field.dataset.into);
      if (mine !== typed || !target || field.value.trim().length < 3) return;
      target.textContent = target.dataset.wait;
      try {
        const { page } = await fetchFragment(field.dataset.search + "?" + wanted(field), 12);
        const found = find("[data-found]", page);
        if (mine === typed && found) fill(target, found);
      } catch (error) {
        if (mine === typed) target.textContent = texts.lost;
      }
    }, 400);
  });

  // --- many at once ------------------------------------------------------------------------------------------------------

  function countTicked(form, touched) {
    const boxes = every("input[name=id]", form);
    const ticked = boxes.filter((box) => box.checked).length;
    const all = find("[data-check-all]", form);
    if (all) { all.checked = ticked === boxes.length; all.indeterminate = ticked > 0 && ticked < boxes.length; }
    const bar = find("[data-bulk-bar]", form);
    if (bar) for (const button of every("button", bar)) button.disabled = ticked === 0;
    if (!touched || !bar) return;
    find("input[name=mode]", form).value = "ids";
    bar.dataset.mine = "1";
    find(".count", bar).textContent = texts.selected.replace("#", ticked);
    for (const one of every("[data-n]", bar)) one.textContent = ticked ? " " + ticked : "";
  }

  // --- clicks, keys ------------------------------------------------------------------------------------------------------

  function dress() {
    dressToggle();
    for (const one of every("[data-copy], [data-check-all]")) one.hidden = false;
    for (const form of every("[data-bulk]")) countTicked(form, Boolean(find("[data-bulk-bar][data-mine]", form)));
    loadAll();
  }

  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const on = (selector) => event.target.closest(selector);
    let one;
    if ((one = on("[data-live-toggle]"))) {
      event.preventDefault();
      sessionStorage.setItem("dealpost-live", stopped() ? "on" : "off");
      dressToggle();
      schedule();
      if (!stopped()) refresh(true);
    } else if ((one = on("a[data-dialog]"))) {
      event.preventDefault();
      ask(one.href).catch(() => { location.href = one.href; });
    } else if ((one = on("a[data-fill]")) && find("[data-search]")) {
      event.preventDefault();
      const field = find("[data-search]", one.closest("form"));
      field.value = one.dataset.fill;
      field.focus();
      field.dispatchEvent(new Event("input", { bubbles: true }));
    } else if ((one = on("#dialog [data-close]"))) {
      event.preventDefault();
      dialog.close();
    } else if ((one = on("a[data-reload]"))) {
      const target = find("#" + one.dataset.reload);
      if (!target) return;
      event.preventDefault();
      load(target, one.dataset.from || one.href, (page) => find("[data-found]", page));
    } else if ((one = on("[data-copy]"))) {
      const text = find("#" + one.dataset.copy).textContent.trim();
      navigator.clipboard.writeText(text).then(() => { find("#spoken").textContent = texts.copied; one.title = texts.copied; }).catch(() => {});
    } else if (event.target === dialog) {
      dialog.close();
    }
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-with]")) find("[data-search]", event.target.form).dispatchEvent(new Event("input", { bubbles: true }));
    const form = event.target.closest("[data-bulk]");
    if (!form) return;
    if (event.target.matches("[data-check-all]")) for (const box of every("input[name=id]", form)) box.checked = event.target.checked;
    countTicked(form, true);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-dialog]")) return;
    event.preventDefault();
    const values = new URLSearchParams(new FormData(form, event.submitter));
    ask(form.action + "?" + values).catch(() => form.submit());
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.nodeName)) return;
    if (dialog && dialog.open) return;
    if (event.key === "/") {
      const search = find("#search");
      const field = search && search.offsetParent ? search : find("#find");
      if (!field) return;
      event.preventDefault();
      field.focus();
      field.select();
    } else if (event.key === "r") {
      event.preventDefault();
      refresh(true);
    } else if (event.key === "?") {
      event.preventDefault();
      ask(texts.help).catch(() => { location.href = texts.help; });
    }
  });

  document.addEventListener("visibilitychange", () => { if (!document.hidden && isLive() && !stopped()) refresh(false); });

  setClock();
  dress();
  schedule();
})();
