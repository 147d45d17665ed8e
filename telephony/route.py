"""Where work goes next. The only file of this app that names the CRM's, as text: a test resolves each name."""

COLLECT = "telephony.tasks.collect_calls"
SYNC = "telephony.tasks.sync_employees"
RECONCILE = "telephony.tasks.reconcile_calls"
POLL = "telephony.tasks.poll_statuses"
PROBE = "telephony.tasks.probe"

POPUP = "crm.tasks.show_popup"
HANGUP = "crm.tasks.close_popups"
OWNER = "crm.tasks.find_owners"
UPLOAD = "crm.tasks.upload_calls"
LINK = "crm.tasks.link_users"
STATUSES = "crm.tasks.push_statuses"
