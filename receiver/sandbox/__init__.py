"""A faithful imitation of the Case.dev agent-run API, and of its bad days.

An island: it knows the published interface of the service and nothing of the rest of this product, so that
what is tested against it is tested against the interface. `app.create_app` builds it; `faults.Faults` names
everything that can be made to go wrong, at start or while it runs (`PUT /sandbox/faults`).

    app         the route table and the lifespan
    gate        what every call passes: the journal, the key, the faults, cut connections
    agents, runs, endpoints, deliveries, control    the handlers, a file per noun
    streams     the events of runs, live and again     progress  which have happened by now
    life        the timers that end runs              world     the agents and runs that exist
    callbacks   what watchers are told                events    what endpoints are told, and how it is signed
    couriers    carry both, with retries and losses   subscriptions  endpoints, secrets, what was delivered
    turns       the order of events, and disorder     signing   the signature of an event
    journal     what was asked and what was sent      recording every exchange, whole, to a file
    holds       what waits until it is released
    house       the parts of one sandbox, together
    faults      the switches, described               rules     scripted faults
    readers     a switch's value, read and checked    chaos     which fault strikes the call at hand
    transcript, vocabulary    the legal research that a run appears to do
    views, audit  records as the service's JSON      checks    what the service demands of a body
    answers     error bodies in all their shapes      addresses which callback URLs are taken
"""
