# Ask a resolver for MTA-STS policies about every domain once, so that it has them before the first mail:
while read -r domain; do postmap -q "$domain" socketmap:inet:127.0.0.1:8461:postfix; done <@FILE@
