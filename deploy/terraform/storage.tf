data "aws_caller_identity" "this" {}

# Adapters and finished runs: bench push RUN s3://BUCKET/runs
resource "aws_s3_bucket" "results" {
  bucket = "${var.name}-${data.aws_caller_identity.this.account_id}-${var.region}"
}

resource "aws_s3_bucket_public_access_block" "results" {
  bucket                  = aws_s3_bucket.results.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "results" {
  bucket = aws_s3_bucket.results.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
  }
}

resource "aws_s3_bucket_versioning" "results" {
  bucket = aws_s3_bucket.results.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "results" {
  bucket = aws_s3_bucket.results.id
  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.keep_results_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

# What bench push, bench run --out and --models s3://… need. Attach it to who may use the bucket.
data "aws_iam_policy_document" "results" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.results.arn]
  }
  statement {
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.results.arn}/*"]
  }
}

resource "aws_iam_policy" "results" {
  name   = "${var.name}-results"
  policy = data.aws_iam_policy_document.results.json
}
