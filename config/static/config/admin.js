// Runs the theme without eval: the Content-Security-Policy allows scripts from here and nothing else.
// Alpine's CSP build evaluates plain expressions over named scopes only, so what the theme's markup takes from
// `window`, and the two attributes that hold statements, are given to it here, before Alpine starts.

document.addEventListener("alpine:init", () => {
  // A copy: Alpine refuses the browser's own objects. A form's action is the one expression that asks for it.
  const { pathname, search } = window.location;

  Alpine.data("theme", (chosen) => Object.assign(theme(chosen), { window: { location: { pathname, search } } }));
  Alpine.data("searchForm", searchForm);

  Alpine.data("page", (firstTab) => ({
    activeTab: getCurrentTab() || firstTab,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem("sidebarDesktopOpen") !== "0",
    toggleSidebar() {
      this.sidebarDesktopOpen = !this.sidebarDesktopOpen;
      localStorage.setItem("sidebarDesktopOpen", this.sidebarDesktopOpen ? "1" : "0");
    },
    toggleMobileSidebar() {
      this.sidebarMobileOpen = !this.sidebarMobileOpen;
    },
  }));
});

document.addEventListener("readystatechange", () => {
  if (document.readyState !== "interactive" || !document.body) return; // parsed, deferred scripts not yet run
  const declared = document.body.getAttribute("x-data") || "";
  const tab = declared.match(/activeTab: '([\w-]*)'/);
  document.body.setAttribute("x-data", `page('${tab ? tab[1] : ""}')`);
  document.body.removeAttribute("x-init");
});

// A dialog of the theme is a box over the page. Whoever works by keyboard is taken into it, to the field that was
// refused or else to the first, stays in it while it is open, and comes back to the button that opened it.
(() => {
  const FIELDS = "input:not([type=hidden]), select, textarea";
  const REACHED = `${FIELDS}, a[href], button`;
  const box = () => document.getElementById("modal-content");
  const isOpen = () => Boolean(box() && box().offsetParent);
  let opener = null;

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target === box()) opener = document.activeElement;
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    const dialog = box();
    if (!dialog || !dialog.contains(event.target)) return;
    const title = dialog.querySelector("h1");
    dialog.setAttribute("role", "dialog");
    dialog.setAttribute("aria-modal", "true");
    dialog.setAttribute("aria-label", title ? title.textContent.trim() : "");
    const first = ["[aria-invalid=true]", FIELDS, REACHED].map((what) => dialog.querySelector(what)).find(Boolean);
    requestAnimationFrame(() => { if (first) first.focus(); }); // it is shown with the next picture
  });

  document.addEventListener("keydown", (event) => {
    if (!isOpen()) return;
    if (event.key === "Escape" && opener) opener.focus();
    if (event.key !== "Tab") return;
    const reached = [...box().querySelectorAll(REACHED)].filter((one) => one.offsetParent && !one.disabled);
    const [first, last] = [reached[0], reached[reached.length - 1]];
    const isAtEnd = document.activeElement === (event.shiftKey ? first : last);
    if (!isAtEnd && box().contains(document.activeElement)) return;
    event.preventDefault();
    (event.shiftKey ? last : first).focus();
  }, true);
})();
