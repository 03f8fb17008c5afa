output "registry" {
  description = "Where images are pushed. REGISTRY and IMAGE of .github/workflows/images.yml are its two halves."
  value       = aws_ecr_repository.images.repository_url
}

output "push_role" {
  description = "REGISTRY_ROLE of .github/workflows/images.yml."
  value       = one(aws_iam_role.push[*].arn)
}

output "results" {
  description = "Where runs and adapters go: bench push RUN URL/runs."
  value       = "s3://${aws_s3_bucket.results.bucket}"
}

output "results_policy" {
  description = "The policy that lets a user or a role use the bucket."
  value       = aws_iam_policy.results.arn
}

output "connect" {
  description = "The command that gives kubectl access to the cluster."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${aws_eks_cluster.this.name}"
}
