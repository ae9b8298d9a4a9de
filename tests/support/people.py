"""Services of people with the cheapest passwords there are, for tests."""

import os
from collections.abc import Callable

from keyfast.api.approval_api import ApprovalApi
from keyfast.api.people_api import PeopleApi
from keyfast.services.api_tokens import ApiTokenService
from keyfast.services.approvals import ApprovalService
from keyfast.services.passkeys import PasskeyService
from keyfast.services.people import PeopleService
from keyfast.services.person_groups import PersonGroups
from keyfast.services.second_factor import SecondFactors
from keyfast.services.sessions import SessionService
from keyfast.services.sign_in import SignInService
from keyfast.store.database import Database
from keyfast.trust.kek import Kek
from keyfast.trust.sign_in import CHEAPEST, Passwords


def people_api(database: Database, kek: Callable[[], Kek], clock: Callable[[], float]) -> PeopleApi:
    """The admin API of people over a store."""
    codes, passwords = SecondFactors(database, kek, clock), Passwords(CHEAPEST)
    sign_in = SignInService(database, codes, passwords, clock, os.urandom)
    return PeopleApi(
        PeopleService(database, passwords, clock, os.urandom),
        codes,
        PasskeyService(database, "https://localhost", sign_in, clock, os.urandom),
        SessionService(database, clock),
        ApiTokenService(database, clock, os.urandom),
        PersonGroups(database, None),
    )


def approval_api(database: Database, kek: Callable[[], Kek], clock: Callable[[], float]) -> ApprovalApi:
    """The admin API of approvals over a store; nothing needs one."""
    return ApprovalApi(ApprovalService(database, kek, (), clock, os.urandom))
