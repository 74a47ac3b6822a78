// Keeps the live page current. The server draws; this asks for the drawing again when the stream says that something
// changed, and every fifteen seconds where no stream is heard. Nothing moves by itself while it is paused.

(() => {
  const page = document.getElementById("hf-live");
  if (!page) return;
  const numbers = document.getElementById("hf-numbers");
  const state = document.getElementById("hf-state");
  const heard = document.getElementById("hf-heard");
  const pause = document.getElementById("hf-pause");
  const form = page.querySelector("form");
  const POLL = 15000, SOONEST = 2000, SPEAK = 10000, AGAIN = 30000; // milliseconds

  let source = null, isStreaming = false, isPaused = false, isWanted = false, isFetching = false;
  let fetchedAt = 0, spokenAt = 0, spoken = "", timer = null, generation = 0;

  const query = () => new URLSearchParams(new FormData(form)).toString();
  const zone = { // the viewer's, as everywhere on the page
    hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
    timeZone: page.dataset.zone, timeZoneName: "short",
  };
  const clock = (at = Date.now()) => new Date(at).toLocaleTimeString("en-GB", zone);
  const say = (text) => { if (state.textContent !== text) state.textContent = text; };

  function told(text) { // for screen readers: at most every ten seconds, and only news
    if (text === spoken || Date.now() - spokenAt < SPEAK) return;
    spoken = text; spokenAt = Date.now();
    heard.textContent = text;
  }

  function replace(html) {
    const held = document.activeElement && numbers.contains(document.activeElement) ? document.activeElement : null;
    const name = held && (held.id || held.getAttribute("href"));
    const places = [...numbers.querySelectorAll("[tabindex]")].map((one) => [one.scrollLeft, one.scrollTop]);
    numbers.innerHTML = html; // our own page, drawn and escaped by the server
    numbers.querySelectorAll("[tabindex]").forEach((one, n) => { [one.scrollLeft, one.scrollTop] = places[n] || [0, 0]; });
    if (name) {
      const same = document.getElementById(name) || [...numbers.querySelectorAll("a")].find((a) => a.getAttribute("href") === name);
      if (same) same.focus({ preventScroll: true });
    }
    const summary = numbers.firstElementChild && numbers.firstElementChild.dataset.summary;
    if (summary) told(summary);
  }

  async function fetchNumbers() {
    if (isPaused || isFetching) return;
    isFetching = true; isWanted = false;
    const mine = ++generation;
    try {
      const answer = await fetch(`${page.dataset.numbers}?${query()}`, { credentials: "same-origin", redirect: "manual" });
      if (answer.type === "opaqueredirect") throw new Error("You are logged out. Load the page again.");
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      const html = await answer.text();
      if (mine === generation && !isPaused) {
        replace(html);
        say(`${isStreaming ? "Live" : "Asked every 15 seconds"}. As of ${clock()}.`);
      }
    } catch (error) {
      say(`Not current since ${fetchedAt ? clock(fetchedAt) : "the page was loaded"}: ${error.message}`);
      return;
    } finally {
      isFetching = false;
      fetchedAt = Date.now();
      if (isWanted) soon();
    }
  }

  function soon() { // many events make one look
    isWanted = true;
    if (timer || isFetching) return;
    timer = setTimeout(() => { timer = null; fetchNumbers(); }, Math.max(0, SOONEST - (Date.now() - fetchedAt)));
  }

  function listen() {
    if (!page.dataset.stream || !window.EventSource) return;
    source = new EventSource(`${page.dataset.stream}?ticket=${encodeURIComponent(page.dataset.ticket)}`);
    source.onopen = () => { isStreaming = true; say(`Live. As of ${clock()}.`); soon(); };
    source.onerror = () => { // until it is heard again the poll goes on
      isStreaming = false; // a lost connection is tried again by the browser, an answer that is no stream by us
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN);
    };
    source.addEventListener("opt_outs", soon);
    source.addEventListener("reset", soon);
    source.addEventListener("unmeasured", () => say("The numbers cannot be read right now: the database does not answer."));
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    if (isPaused) say(`Paused. As of ${clock()}.`);
    else soon();
  });
  form.addEventListener("change", () => {
    window.history.replaceState(null, "", `?${query()}`);
    spokenAt = 0; isPaused = false; pause.setAttribute("aria-pressed", "false");
    generation += 1; isFetching = false; fetchedAt = 0;
    soon();
  });
  setInterval(() => { if (!isStreaming && Date.now() - fetchedAt >= POLL) soon(); }, 1000);
  // A stream that is open but silent still moves the window along.
  setInterval(() => { if (isStreaming && Date.now() - fetchedAt >= 4 * POLL) soon(); }, 5000);
  listen();
})();
