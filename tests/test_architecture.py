"""Where things stand and who may call whom. A failure here is a question to answer, not a line to loosen."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APPS = ("config", "consent", "messaging", "incidents")
MODULES = sorted(path for app in APPS for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts)

# Calls go this way; news comes up by the log's feed and by signals.
MAY_IMPORT = {
    "config": {"config"},
    "consent": {"config", "consent"},
    "messaging": {"config", "consent", "messaging"},
    "incidents": {"config", "consent", "messaging", "incidents"},
}
# The HTTP surface, and the commands that run the product as a whole.
ABOVE_THE_LINE = ("config/urls.py", "config/management/", "config/stack/")
DOORS = {"admin", "api", "tasks", "webhooks", "public"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """Each imported module, and `module.name` for what is imported from it, which may be a module too."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(path)}: imports are absolute here."
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def app_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def is_door(path: Path) -> bool:
    return path.relative_to(ROOT / app_of(path)).parts[0].removesuffix(".py") in DOORS


def test_calls_go_down_the_line():
    upward = [
        f"{name(path)} imports {imported}"
        for path in MODULES
        if not name(path).startswith(ABOVE_THE_LINE)
        for imported in imports(path)
        if imported.split(".")[0] in set(APPS) - MAY_IMPORT[app_of(path)]
    ]

    assert not upward


def test_nobody_comes_in_by_another_apps_door():
    intruders = [
        f"{name(path)} imports {imported}"
        for path in MODULES
        if app_of(path) != "config"
        for imported in imports(path)
        for app, _, rest in [imported.partition(".")]
        if app in {"consent", "messaging", "incidents"} - {app_of(path)} and rest.split(".")[0] in DOORS
    ]

    assert not intruders


def test_what_stands_behind_a_door_does_not_import_it():
    """A task is the exception: what it runs may nudge it."""
    inward = [
        f"{name(path)} imports {imported}"
        for path in MODULES
        if app_of(path) != "config" and not is_door(path)
        for imported in imports(path)
        for app, _, rest in [imported.partition(".")]
        if app == app_of(path) and rest.split(".")[0] in DOORS - {"tasks"}
    ]

    assert not inward


def test_imports_stand_on_top():
    late = [
        f"{name(path)}, line {child.lineno}"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (path.name, node.name) != ("apps.py", "ready")
        for child in ast.walk(node)
        if isinstance(child, ast.Import | ast.ImportFrom)
    ]

    assert not late


def test_one_module_knows_the_theme():
    knowing = {name(path) for path in MODULES if "unfold" in {imported.split(".")[0] for imported in imports(path)}}

    assert knowing == {"config/admin.py"}


def test_no_module_is_named_after_nothing():
    hollow = {"utils", "helpers", "common", "core", "misc", "selectors", "constants", "exceptions"}

    assert not [name(path) for path in MODULES if hollow & {path.stem, path.parent.name}]


def test_the_root_holds_what_was_agreed():
    agreed = {
        "CHANGELOG.md",
        "Dockerfile",
        "LICENSE",
        "Makefile",
        "NOTICE",
        "README.md",
        "compose.yaml",
        "manage.py",
        "pyproject.toml",
        "templates",
        "tests",
        *APPS,
    }
    made_by_running = {"var"}

    hidden_or_locks = (".", "__", "requirements")
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(hidden_or_locks)}

    assert found - made_by_running <= agreed
