"""Routes: requests in, answers out; one table says who may call what, and absent means denied."""
