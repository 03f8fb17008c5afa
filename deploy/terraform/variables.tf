variable "name" {
  description = "The name of everything that is made, and the start of longer names."
  type        = string
  default     = "docvlm-bench"
}

variable "region" {
  description = "The AWS region, such as eu-central-1."
  type        = string
}

variable "subnet_ids" {
  description = "At least two private subnets of an existing network, in different zones, with a way to the internet."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "A cluster needs subnets in at least two zones."
  }
}

variable "kubernetes_version" {
  description = "The version of Kubernetes. A version that AWS supports only in the extended way costs more."
  type        = string
  default     = "1.35"
}

variable "public_access_cidrs" {
  description = "Networks from which the cluster's API may be reached over the internet; none closes it."
  type        = list(string)
  default     = []
}

variable "gpu_instance_type" {
  description = "The machine of a GPU node. g6.2xlarge has one L4 with 24 GB."
  type        = string
  default     = "g6.2xlarge"
}

variable "gpu_nodes" {
  description = "The most GPU nodes. The group starts with none, so that an idle cluster has no GPU to pay for."
  type        = number
  default     = 2
  validation {
    condition     = var.gpu_nodes >= 1
    error_message = "A group of nodes may not be limited to none."
  }
}

variable "cpu_instance_type" {
  description = "The machine of the other nodes."
  type        = string
  default     = "m7i.xlarge"
}

variable "github_repository" {
  description = "The repository, as owner/name, whose tags may push images; empty allows none."
  type        = string
  default     = ""
}

variable "keep_results_days" {
  description = "Days after which old versions of results and adapters are removed."
  type        = number
  default     = 90
}
