"""Service keys at the door: who calls, and what they may do."""

from rest_framework import authentication, permissions


class ServiceKeyAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer hf_…`"""


class HasScope(permissions.BasePermission):
    """The view names the scope it needs in `scopes = {"GET": Scope.CHECK, …}`."""
