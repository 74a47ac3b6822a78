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
