"""The console's page of a user's own account."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import redirect, render_template, request, url_for

from vedette_hub.api import session, signing_in
from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import caller
from vedette_hub.api.context import context
from vedette_hub.identity import passwords
from vedette_hub.identity.passwords import PasswordError
from vedette_hub.identity.roles import RIGHTS
from vedette_hub.store import users
from vedette_hub.store.database import writing

blueprint = APIBlueprint("account", __name__, url_prefix="/account", enable_openapi=False)


@blueprint.get("")
@requires("viewer", page=True, person=True, password_due=True)
def page() -> Any:
    """Who is signed in, and forms to change the password and to sign out everywhere."""
    return _page()


@blueprint.post("/password")
@requires("viewer", person=True, password_due=True)
def change_password() -> Any:
    """Change one's own password."""
    new = request.form.get("password", "")
    if new != request.form.get("again", ""):
        return _page("The two new passwords are not the same.", 400)
    try:
        signing_in.change_password(caller(), request.form.get("current", ""), new)
    except signing_in.TooManyFailuresError as error:
        return _page(str(error), 429, {"Retry-After": str(error.retry_after)})
    except signing_in.WrongPasswordError:
        return _page("That is not your current password.", 403)
    except PasswordError as error:
        text = str(error)
        return _page(text[:1].upper() + text[1:] + ".", 422)
    return redirect(url_for("console.page"), 303)


@blueprint.post("/sign-out")
@requires("viewer", person=True, password_due=True)
def sign_out_everywhere() -> Any:
    """End all of one's own sessions."""
    with writing(context().engine) as connection:
        ended = users.end_sessions(connection, caller().number)
        note(connection, "user.sign_out", caller().name, detail=f"{ended} sessions")
        session.end()
    return redirect(url_for("console.sign_in"), 303)


def _page(
    problem: str = "", status: int = 200, headers: dict[str, str] | None = None
) -> tuple[str, int, dict[str, str]]:
    text = render_template(
        "account.html",
        problem=problem,
        rights=RIGHTS[caller().role],
        shortest=passwords.SHORTEST,
        longest=passwords.LONGEST,
    )
    return text, status, headers or {}
