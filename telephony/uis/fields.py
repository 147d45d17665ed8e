"""The fields we request from the Data API."""

EMPLOYEE = [
    *["id", "full_name", "first_name", "last_name", "email", "status", "status_id", "call_recording"],
    *["phone_numbers"],
]
LEG = [
    *["id", "call_session_id", "call_records", "start_time", "connect_time", "duration", "total_duration"],
    *["finish_reason", "virtual_phone_number", "calling_phone_number", "called_phone_number", "contact_phone_number"],
    *["is_operator", "is_talked", "is_coach", "employee_id"],
]
CALL = [
    *["id", "start_time", "finish_time", "finish_reason", "direction", "source", "is_lost", "contact_phone_number"],
    *["virtual_phone_number", "wait_duration", "talk_duration", "total_duration", "call_records", "employees"],
    *["last_talked_employee_id", "call_api_external_id", "full_record_file_link"],
]
