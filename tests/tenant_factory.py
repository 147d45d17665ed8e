"""Builds an activated tenant from the two fake accounts, without the requests of a real activation."""

import json
from datetime import datetime
from typing import Any

from django.utils import timezone

from crm import integration_module
from crm.retailcrm import payloads
from crm.retailcrm.client import V5
from crm.retailcrm.payloads import Module
from tenants import rule_versions
from tenants.models import (
    ACTIVATION_LINK_LIFETIME,
    CrmConnection,
    CrmUser,
    Employee,
    RemoteList,
    Tenant,
    UisConnection,
    UisStatus,
    VirtualNumber,
)
from tests.fakes import retailcrm, retailcrm_modules, uis
from tests.fakes.retailcrm_http import Incoming


def activated(name: str, slug: str, *, pbx: uis.Account, crm: retailcrm.Account, default_number: str = "") -> Tenant:
    """Return a tenant as it is after adding and activating it; tests/flows/test_activation.py compares the two.

    Works for accounts as the fakes create them: with statuses, all rights, API v5, and users linked by e-mail.
    The requests of a real activation, which count towards the vendors' limits, are missing, and so are its statements:
    thousands of tests begin with this.
    """
    now = timezone.now()
    tenant = Tenant.objects.create(
        name=name, slug=slug, activated_at=now, activation_expires_at=now + ACTIVATION_LINK_LIFETIME
    )
    staff = _staff(tenant, pbx=pbx, crm=crm)
    _connect(tenant, staff, pbx=pbx, crm=crm, now=now)
    rule_versions.begin(tenant, {}, now=now)
    Employee.objects.bulk_create(staff)
    _add_crm_users(tenant, crm)
    _add_numbers(tenant, pbx=pbx, default_number=default_number)
    UisStatus.objects.bulk_create(
        UisStatus(tenant=tenant, uis_id=row["id"], mnemonic=row["mnemonic"] or "", name=row["name"])
        for row in pbx.statuses.values()
    )
    _add_lists(tenant, pbx=pbx, crm=crm, default_number=default_number, now=now)
    return Tenant.objects.select_related("uis", "crm", "rule_version").get(pk=tenant.pk)


def _connect(tenant: Tenant, staff: list[Employee], *, pbx: uis.Account, crm: retailcrm.Account, now: datetime) -> None:
    """Store both connections, and the module that they register in the CRM."""
    UisConnection.objects.create(
        tenant=tenant,
        brand=pbx.brand,
        access_token=pbx.token,
        time_zone=pbx.timezone,
        synced_at=now,
        account_id=str(pbx.app_id),
        holds_account=True,
    )
    connection = CrmConnection(
        tenant=tenant,
        address=f"https://{crm.host}",
        key=crm.key,
        served_version=V5,
        time_zone=crm.timezone,
        stores=list(crm.sites),
        account_id=crm.host,
        holds_account=True,
        registered_at=now,
    )
    codes = [(one.crm_user_id, one.extension) for one in staff if one.crm_user_id and one.extension]
    connection.module_code = integration_module.code(tenant)
    connection.registered_module = {
        "codes": [list(pair) for pair in codes],
        "manual_codes": [],
        "phones": [],
        "where": integration_module._fingerprint(tenant),
        "account": connection.account,
    }
    connection.save(force_insert=True)
    _register(crm, integration_module._module(tenant, codes=codes), at=now)


def _register(account: retailcrm.Account, sent: Module, *, at: datetime) -> None:
    """Register the module in the fake CRM without HTTP."""
    retailcrm_modules.edit(
        account,
        Incoming(
            host=account.host,
            method="POST",
            path=f"/api/v5/integration-modules/{sent.code}/edit",
            query={},
            fields={"integrationModule": json.dumps(payloads.to_module_v5(sent))},
            header_key=account.key,
            at=at,
            args={"code": sent.code},
        ),
    )


def _add_crm_users(tenant: Tenant, crm: retailcrm.Account) -> None:
    CrmUser.objects.bulk_create(
        CrmUser(
            tenant=tenant,
            crm_id=row["id"],
            name=f"{row['firstName']} {row.get('lastName', '')}".strip(),
            email=row.get("email", ""),
            is_active=row["active"],
        )
        for row in crm.users.values()
    )


def _staff(tenant: Tenant, *, pbx: uis.Account, crm: retailcrm.Account) -> list[Employee]:
    by_email = {row["email"]: row["id"] for row in crm.users.values() if "email" in row}
    return [_employee(tenant, row, by_email) for row in pbx.employees.values()]


def _employee(tenant: Tenant, row: dict[str, Any], by_email: dict[str, int]) -> Employee:
    status, user_id = str(row["status_id"]), by_email.get(row["email"])
    return Employee(
        tenant=tenant,
        uis_id=row["id"],
        full_name=row["full_name"],
        email=row["email"] or "",
        extension=row["extension"].get("extension_phone_number", ""),
        numbers=[phone["phone_number"] for phone in row["phone_numbers"]],
        recording_mode=row["call_recording"],
        has_voice_mail=row["extension"].get("extension_voice_mail_enabled", False),
        crm_user_id=user_id,
        linked_by=Employee.LinkedBy.EMAIL if user_id else Employee.LinkedBy.NOT_LINKED,
        uis_status=status,
        synced_status=status,
    )


def _add_numbers(tenant: Tenant, *, pbx: uis.Account, default_number: str) -> None:
    VirtualNumber.objects.bulk_create(
        VirtualNumber(tenant=tenant, number=number, name=row["name"], is_default=number == default_number)
        for row in pbx.numbers.values()
        for number in [row["virtual_phone_number"]]
    )


def _add_lists(tenant: Tenant, *, pbx: uis.Account, crm: retailcrm.Account, default_number: str, now: datetime) -> None:
    received = (
        (RemoteList.Kind.EMPLOYEES, 0, len(pbx.employees)),
        (RemoteList.Kind.NUMBERS, 1 if default_number else 0, len(pbx.numbers)),
        (RemoteList.Kind.STATUSES, 0, len(pbx.statuses)),
        (RemoteList.Kind.CRM_USERS, 0, len(crm.users)),
    )
    RemoteList.objects.bulk_create(
        RemoteList(tenant=tenant, kind=kind, asked_at=now, known_count=known, received_count=count)
        for kind, known, count in received
    )
