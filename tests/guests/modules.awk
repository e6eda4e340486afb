# 65549 printable bytes: byte i is 33 + (i * 7 + floor(i / 256)) % 90.
BEGIN { for (i = 0; i < 65549; i++) printf "%c", 33 + (i * 7 + int(i / 256)) % 90 }
