"""`/api/v1/tokens`: what programs sign in with."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint, abort

from vedette_hub.api.access import requires
from vedette_hub.api.auditing import note
from vedette_hub.api.caller import who
from vedette_hub.api.context import context
from vedette_hub.api.idempotency import idempotent
from vedette_hub.api.identity_shapes import NewTokenOut, TokenIn, TokensOut, token_answer
from vedette_hub.identity.roles import RoleError
from vedette_hub.store import tokens
from vedette_hub.store.database import reading, writing
from vedette_hub.store.tokens import TokenError, UnknownTokenError

blueprint = APIBlueprint("tokens", __name__, url_prefix="/api/v1/tokens", tag="Users")


@blueprint.get("")
@requires("admin")
@blueprint.output(TokensOut)
def list_tokens() -> dict[str, Any]:
    """Tokens without their secrets, those that work no longer too."""
    here = context()
    with reading(here.engine) as connection:
        return {"tokens": [token_answer(token, here.now()) for token in tokens.list_tokens(connection)]}


@blueprint.post("")
@requires("admin")
@blueprint.input(TokenIn)
@blueprint.output(NewTokenOut, status_code=201)
@blueprint.doc(responses=[400, 409, 413])
def create_token(json_data: TokenIn) -> dict[str, Any]:
    """Make a token; its secret is answered this once."""
    here, secret = context(), tokens.new_secret()
    now = here.now()
    expires = None if json_data.expires_in is None else now + json_data.expires_in
    try:
        with writing(here.engine) as connection:
            made = tokens.add_token(
                connection,
                json_data.name,
                secret,
                now,
                role=json_data.role,
                scopes=json_data.scopes,
                expires=expires,
                by=who(),
            )
            note(connection, "token.add", made.name, detail=describe(made))
    except RoleError as error:
        abort(422, "The request is not as it should be.", detail={"json": {"scopes": [str(error)]}})
    except TokenError as error:
        abort(409, f"{str(error)[:1].upper()}{str(error)[1:]}.")
    return {**token_answer(made, now), "secret": secret}


@blueprint.post("/<name:token>/revoke")
@requires("admin")
@idempotent
@blueprint.output(TokensOut)
@blueprint.doc(responses=[404])
def revoke_token(token: str) -> dict[str, Any]:
    """Make a token useless at once; answers those there are."""
    here = context()
    try:
        with writing(here.engine) as connection:
            tokens.revoke_token(connection, token, here.now())
            note(connection, "token.revoke", token)
            found = tokens.list_tokens(connection)
    except UnknownTokenError:
        abort(404, f"There is no token {token!r}; GET /api/v1/tokens lists those there are.")
    return {"tokens": [token_answer(one, here.now()) for one in found]}


def describe(token: tokens.Token) -> str:
    """A token for the audit log."""
    scopes = "" if token.scopes is None else f", scopes {', '.join(token.scopes)}"
    return f"role {token.role}{scopes}{', expires' if token.expires else ''}"
