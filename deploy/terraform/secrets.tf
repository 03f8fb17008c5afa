# The key of the service. Its value is put in by a person or a rotation, so that no state of Terraform holds it:
#   aws secretsmanager put-secret-value --secret-id NAME --secret-string "$(openssl rand -hex 32)"
resource "aws_secretsmanager_secret" "api_key" {
  name = "${var.name}/api-key"
}

# A token of the model hub, for gated models and adapters.
resource "aws_secretsmanager_secret" "hub_token" {
  name = "${var.name}/hub-token"
}
