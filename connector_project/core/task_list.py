"""The functions that workers run; they refuse all others, whatever is in the queue or in the schedules.

Text, so that nothing of the upper apps is imported; a test compares the list with the functions of the `tasks` modules.
"""

TASKS = frozenset(
    {
        "connector_project.operations.tasks.delete_offboarded_data",
        "connector_project.operations.tasks.enqueue_due_work",
        "connector_project.operations.tasks.evaluate_alerts",
        "connector_project.operations.tasks.evaluate_alerts_fallback",
        "connector_project.operations.tasks.process_notification",
        "connector_project.operations.tasks.run_activation_step",
        "connector_project.operations.tasks.run_checks",
        "connector_project.operations.tasks.run_checks_all",
        "connector_project.operations.tasks.send_alert",
        "connector_project.operations.tasks.update_traffic_profile",
        "connector_project.operations.tasks.update_traffic_profiles",
        "crm.tasks.enqueue_due_work",
        "crm.tasks.find_owners",
        "crm.tasks.link_users",
        "crm.tasks.probe",
        "crm.tasks.probe_all",
        "crm.tasks.push_statuses",
        "crm.tasks.register_module",
        "crm.tasks.run_command",
        "crm.tasks.upload_calls",
        "crm.tasks.verify_uploads",
        "crm.tasks.verify_uploads_all",
        "telephony.tasks.close_all",
        "telephony.tasks.close_days",
        "telephony.tasks.enqueue_debounced",
        "telephony.tasks.enqueue_due_work",
        "telephony.tasks.evaluate_calls",
        "telephony.tasks.fetch_call_legs",
        "telephony.tasks.poll_all",
        "telephony.tasks.poll_statuses",
        "telephony.tasks.probe",
        "telephony.tasks.probe_all",
        "telephony.tasks.reconcile_all",
        "telephony.tasks.reconcile_calls",
        "telephony.tasks.run_bulk_action",
        "telephony.tasks.sync_all",
        "telephony.tasks.sync_employees",
    }
)
