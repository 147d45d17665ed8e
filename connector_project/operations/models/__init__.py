"""Models: activations, incidents, alert deliveries, traffic profiles, previews, marketplace registrations."""

from connector_project.operations.models.activation import Activation
from connector_project.operations.models.alert_delivery import AlertDelivery
from connector_project.operations.models.erasure import Erasure
from connector_project.operations.models.incident import Incident
from connector_project.operations.models.marketplace_registration import MarketplaceRegistration
from connector_project.operations.models.rule_preview import RulePreview
from connector_project.operations.models.traffic_profile import TrafficProfile

__all__ = [
    "Activation",
    "AlertDelivery",
    "Erasure",
    "Incident",
    "MarketplaceRegistration",
    "RulePreview",
    "TrafficProfile",
]
