# A Service User with two keys that work from two networks alone, and its Administrators.

terraform {
  required_providers {
    restapi = {
      source  = "Mastercard/restapi"
      version = "~> 3.0"
    }
  }
}

variable "url" {}
variable "username" {}
variable "api_key" { sensitive = true }

provider "restapi" {
  uri                   = var.url
  username              = var.username
  password              = var.api_key
  create_returns_object = true # the keys are in the response to the creation, and nowhere else
}

resource "restapi_object" "ci_bot" {
  path         = "/v1/service-users"
  id_attribute = "username"
  data = jsonencode({
    username        = "ci-bot"
    email           = "ci-bot@machines.example"
    role            = "READ_ONLY"
    displayName     = "CI"
    keyTypes        = ["MONITORING", "PROVISIONING_READONLY"]
    allowedNetworks = ["192.0.2.0/24", "2001:db8::/32"]
    administrators  = ["admin", "owner"]
  })
  update_data = jsonencode({
    role           = "READ_ONLY"
    displayName    = "CI"
    administrators = ["admin", "owner"]
  })
  force_new               = ["username", "email", "keyTypes", "allowedNetworks"]
  ignore_server_additions = true
}

output "keys" {
  value     = { for key in jsondecode(restapi_object.ci_bot.create_response).apiKeys.apiKeys : key.keyType => key.key }
  sensitive = true
}
