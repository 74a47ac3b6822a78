// Keeps a part of a page current while it says that it is at work: the server draws, this asks for the drawing again.
// A page that is hidden is not asked for, and focus stays where it was.

(() => {
  const EVERY = 3000; // milliseconds

  function busy(part) {
    const inner = part.querySelector("[data-busy]");
    return inner && inner.dataset.busy === "true";
  }

  async function refresh(part) {
    try {
      const answer = await fetch(part.dataset.refresh, { credentials: "same-origin", redirect: "manual" });
      if (!answer.ok) return;
      const html = await answer.text();
      if (!part.contains(document.activeElement) || document.activeElement === document.body) {
        part.innerHTML = html; // our own page, drawn and escaped by the server
      }
    } catch {
      // Not reached: asked again in a moment.
    }
  }

  async function keep(part) {
    while (busy(part)) {
      await new Promise((done) => { setTimeout(done, EVERY); });
      if (!document.hidden) await refresh(part);
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-refresh]").forEach((part) => { keep(part); });
  });
})();
