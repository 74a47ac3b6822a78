"""The admin site, and the one module that knows its theme."""

from unfold.sites import UnfoldAdminSite


class Site(UnfoldAdminSite):
    site_title = site_header = "Holdfast"
