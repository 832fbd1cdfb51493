from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0002_fallback"),
    ]

    operations = [
        migrations.CreateModel(
            name="RetiredMonth",
            fields=[
                ("starts_at", models.DateTimeField(primary_key=True, serialize=False)),
                ("closed_at", models.DateTimeField(auto_now_add=True)),
                ("rows", models.BigIntegerField(null=True)),
                ("tokens", models.BigIntegerField(null=True)),
                ("file", models.TextField(blank=True)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("left_at", models.DateTimeField(null=True)),
            ],
        ),
    ]
