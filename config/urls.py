"""The HTTP surface on one page."""

from django.contrib import admin
from django.urls import path

from consent.public.front import front_page, gpc_support, robots
from consent.public.one_click import one_click

urlpatterns = [
    # For people, without a login.
    path("", front_page, name="front-page"),
    path("robots.txt", robots),
    path(".well-known/gpc.json", gpc_support),
    path("u/<str:token>/", one_click, name="one-click"),
    path("u/<str:token>", one_click),  # a redirect to the other would lose the press
    path("admin/", admin.site.urls),
]

handler400 = "config.problems.bad_request"
handler403 = "config.problems.forbidden"
handler404 = "config.problems.not_found"
handler500 = "config.problems.server_error"
