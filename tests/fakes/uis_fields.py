"""The columns of every get.* method: name, type, and the marks of the reference."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column. Marks: F filterable, S sortable, D returned by default, R not on CallGear."""

    name: str
    kind: str
    marks: str
    values: tuple[str, ...] = ()

    @property
    def empty(self) -> object:
        """The value of an empty cell."""
        return {"array": [], "strings": [], "object": {}}.get(self.kind)


Columns = dict[str, Column]


def parse_columns(table: str) -> Columns:
    found = {}
    for line in table.strip().splitlines():
        name, kind, marks, *values = line.split()
        found[name] = Column(name, kind, marks, tuple(values))
    return found


def on_brand(columns: Columns, brand: str) -> Columns:
    """Leave out the columns that only the Russian documentation has, if the brand is CallGear."""
    return {name: column for name, column in columns.items() if brand != "callgear" or "R" not in column.marks}


# Section 5.8 gives neither filters nor sorting for the one row of an account.
ACCOUNT = parse_columns("""
    app_id number D
    name string D
    timezone string D
""")

# Section 5.3, mark by mark.
LEGS = parse_columns("""
    id number FD
    call_session_id number FSD
    call_records strings D
    wav_call_records strings DR
    start_time date SD
    connect_time date D
    duration number FSD
    total_duration number FSD
    finish_reason enum FSD
    finish_reason_description string FS
    virtual_phone_number string FSD
    calling_phone_number string FSD
    called_phone_number string FSD
    direction enum FSD in out
    is_transfered boolean FSD
    is_operator boolean FSD
    employee_id number FSD
    employee_full_name string FS
    employee_phone_number string FS
    employee_rating number FSD
    scenario_id number FSD
    scenario_name string FSR
    is_coach boolean FSD
    release_cause_code number FSD
    release_cause_description string FSD
    is_failed boolean FSD
    is_talked boolean FS
    contact_id number -
    contact_full_name string -
    contact_phone_number string -
    action_id number FDR
    action_name string FD
    group_id number FD
    group_name string FD
""")

# Section 5.4, mark by mark; the marketing columns are in `uis_attribution`.
CALLS = parse_columns("""
    id number FD
    start_time date SD
    finish_time date D
    finish_reason enum FSD
    direction enum FSD in out
    source enum FSD
    is_lost boolean FSD
    contact_phone_number string FD
    virtual_phone_number string FSD
    communication_id number FD
    communication_type enum D
    communication_number number FS
    wait_duration number FD
    total_wait_duration number FD
    talk_duration number FD
    clean_talk_duration number FD
    total_duration number FD
    postprocess_duration number F
    lost_call_processing_duration number FS
    call_records strings D
    wav_call_records strings D
    full_record_file_link string D
    voice_mail_records strings -
    is_transfer boolean FS
    employees array F
    first_answered_employee_id number F
    first_answered_employee_full_name string F
    last_answered_employee_id number F
    last_answered_employee_full_name string F
    last_answered_employee_rating number F
    first_talked_employee_id number F
    first_talked_employee_full_name string F
    last_talked_employee_id number F
    last_talked_employee_full_name string F
    operator_phone_number string F
    scenario_id number F
    scenario_name string F
    scenario_operations array F
    tags array F
    contact_id number F
    contact_full_name string F
    call_api_request_id number F
    call_api_external_id string F
    ext_id string FS
    attributes strings F
    cpn_region_id number FSD
    cpn_region_name string FSD
    cpn_country_id number FSD
    cpn_country_name string FSD
    properties string -
    hold_duration number -
    call_is_internal boolean F
""")

# Sections 5.5 to 5.7 give no marks: all columns are filterable and returned by default, all scalar ones sortable.
EMPLOYEES = parse_columns("""
    id number FSD
    login string FSD
    first_name string FSD
    last_name string FSD
    patronymic string FSD
    full_name string FSD
    email string FSD
    status enum FSD available break do_not_disturb not_at_workplace not_at_work auto_out_call unknown
    status_id number FSD
    calls_available boolean FSD
    allowed_in_call_types strings FD
    allowed_out_call_types strings FD
    in_external_allowed_call_directions strings FD
    in_internal_allowed_call_directions strings FD
    out_external_allowed_call_directions strings FD
    out_internal_allowed_call_directions strings FD
    call_recording enum FSD all in out off
    schedule_id number FSD
    schedule_name string FSD
    phone_numbers array FD
    extension object FD
    groups array FD
    coach object FD
    operator object FD
""")

STATUSES = parse_columns("""
    id number FSD
    name string FSD
    mnemonic enum FSD available break do_not_disturb not_at_workplace not_at_work auto_out_call unknown
    description string FSD
    color string FSD
    is_deleted boolean FSD
    in_external_allowed_call_directions strings FD
    in_internal_allowed_call_directions strings FD
    out_external_allowed_call_directions strings FD
    out_internal_allowed_call_directions strings FD
    allowed_phone_protocols strings FD
    is_select_allowed boolean FSD
    is_worktime boolean FSD
    is_auto_out_calls_ready boolean FSD
""")

NUMBERS = parse_columns("""
    id number FSD
    child_customer_id number FSD
    virtual_phone_number string FSD
    redirection_phone_number string FSD
    activation_date date FSD
    status enum FSD active waiting cleaning prereserved reserved manual_lock limit_lock
    category enum FSD usual bronze silver gold platinum
    type enum FSD va call_tracking dynamic_call_tracking
    comment string FSD
    name string FSD
    campaigns array FD
    scenarios array FD
""")
