"""What roles may do with the catalog of a shared lake."""

from typing import TYPE_CHECKING, Any

from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.sql import identifier

if TYPE_CHECKING:
    from psycopg import Connection

# A reader needs all tables of the catalog, so a grant on one of them becomes a grant on all. For the tables that
# DuckLake creates later there are default privileges, which are also what an empty schema has.
_GRANTS = """
WITH given (statement, privilege, grantee, owner) AS (
    SELECT 'GRANT %%1$s ON SCHEMA %%2$I TO %%3$s', acl.privilege_type, acl.grantee, nspowner
    FROM pg_namespace, aclexplode(nspacl) AS acl WHERE nspname = %(schema)s
    UNION ALL
    SELECT 'GRANT %%1$s ON ALL TABLES IN SCHEMA %%2$I TO %%3$s', acl.privilege_type, acl.grantee, relowner
    FROM pg_class, aclexplode(relacl) AS acl WHERE oid = to_regclass(quote_ident(%(schema)s) || '.ducklake_snapshot')
    UNION ALL
    SELECT statement, acl.privilege_type, acl.grantee, defaclrole
    FROM pg_default_acl, aclexplode(defaclacl) AS acl, unnest(ARRAY[
        'GRANT %%1$s ON ALL TABLES IN SCHEMA %%2$I TO %%3$s',
        'ALTER DEFAULT PRIVILEGES IN SCHEMA %%2$I GRANT %%1$s ON TABLES TO %%3$s']) AS statement
    WHERE defaclnamespace = to_regnamespace(quote_ident(%(schema)s)) AND defaclobjtype = 'r'
        AND defaclrole = current_user::regrole
)
SELECT DISTINCT format(
    statement, privilege, %(to)s::text, CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(rolname) END)
FROM given LEFT JOIN pg_roles ON pg_roles.oid = grantee
WHERE grantee <> owner ORDER BY 1
"""


def grants_of(session: "Connection[Any]", schema: str, to: str) -> list[str]:
    """Return the statements that give other roles the same rights on the schema `to` as they have on `schema`."""
    return [statement for (statement,) in session.execute(_GRANTS, {"schema": schema, "to": to}).fetchall()]


def require_create(session: "Connection[Any]") -> None:
    """Check that the role of the session may create and rename schemas.

    Raises:
        WarehouseError: it may not.
    """
    [(may_create, role, database)] = session.execute(
        "SELECT has_database_privilege(current_database(), 'CREATE'), current_user, current_database()"
    ).fetchall()
    if not may_create:
        raise WarehouseError(
            f"The role {role} may not create schemas in the database {database}, as a restore does. Run as an"
            f" administrator: GRANT CREATE ON DATABASE {identifier(database)} TO {identifier(role)}"
        )
