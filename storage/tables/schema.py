"""All tables: importing this module registers them in the metadata.

The tables have their columns alone, which is all that a statement needs. Constraints and indexes are declared by
the classes in `storage.models`, from which these modules are made.
"""

from storage.tables import (
    agents,
    declare,
    deliveries,
    integrations,
    jobs,
    ledger,
    retention,
    rollups,
    runs,
    search,
    views,
)

MODULES = (agents, deliveries, integrations, jobs, ledger, retention, rollups, runs, search, views)
metadata = declare.metadata
