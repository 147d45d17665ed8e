"""Models: activations, incidents, alert deliveries and traffic profiles."""

from connector_project.operations.models.activation import Activation
from connector_project.operations.models.alert_delivery import AlertDelivery
from connector_project.operations.models.erasure import Erasure
from connector_project.operations.models.incident import Incident
from connector_project.operations.models.traffic_profile import TrafficProfile

__all__ = ["Activation", "AlertDelivery", "Erasure", "Incident", "TrafficProfile"]
