from support.auditing.digits import digits as digits
